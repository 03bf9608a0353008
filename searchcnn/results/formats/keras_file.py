"""An ordinary Keras file, which plain Keras loads in safe mode."""

import shutil

from searchcnn.results.formats.format import Format

SCRIPT = """
import sys
import numpy, keras
images = numpy.load(sys.argv[1])
for model, predictions in zip(sys.argv[2::2], sys.argv[3::2]):
    numpy.save(predictions, keras.models.load_model(model).predict(images, verbose=0).astype("float32"))
assert "searchcnn" not in sys.modules
"""

FAILURE = "plain Keras cannot load the saved model: {}; a search space may only use stock layers"

KERAS = Format(suffix=".keras", title="a Keras model", write=shutil.copyfile, script=SCRIPT, failure=FAILURE)
"""The format in which studies keep their models."""
