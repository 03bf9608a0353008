"""The study file of the tests of workers: ``STUDY.format(trials=2, epochs=4)``."""

STUDY = """
spaces = ["net"]
[data]
name = "digits"
validation = 200
[budget]
trials = {trials}
[training]
epochs = {epochs}
patience = 99
[search]
pruner = "NopPruner"
"""
