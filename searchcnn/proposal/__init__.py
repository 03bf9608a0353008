"""From a user's images to the study that searches a network for them: what they are, and what to begin with."""
