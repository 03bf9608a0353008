"""Everything that is drawn or printed for people: views of a search, tables, networks, pictures.

Importing this imports neither Keras nor Optuna.
"""
