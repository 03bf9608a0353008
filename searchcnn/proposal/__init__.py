"""From somebody's images to the study that searches them: what they are, what to begin with, a study file's text."""
