"""Runs the command line: `python -m searchcnn`."""

from searchcnn.cli import main

main()
