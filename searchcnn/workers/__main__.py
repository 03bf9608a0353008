"""Runs a worker: `python -m searchcnn.workers`, as the supervisor does."""

from searchcnn.workers.worker import main

main()
