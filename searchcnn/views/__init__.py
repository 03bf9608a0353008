"""All that draws, for people: the views of a search, tables, networks, pictures.

Importing this imports neither Keras nor Optuna.
"""
