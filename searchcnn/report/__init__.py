"""The report of a study: one HTML page that needs nothing else, and the plots in it. Keras is not imported.

Names are imported when they are asked for: plots need Plotly.
"""

from typing import TYPE_CHECKING

from searchcnn.lazy import import_lazily

if TYPE_CHECKING:
    from searchcnn.report.contents import Contents, read_contents
    from searchcnn.report.page import make_page, write_report

__all__ = ["Contents", "make_page", "read_contents", "write_report"]

HOMES = {
    "Contents": "searchcnn.report.contents",
    "make_page": "searchcnn.report.page",
    "read_contents": "searchcnn.report.contents",
    "write_report": "searchcnn.report.page",
}
"""Where public names live."""


__getattr__, __dir__ = import_lazily(globals(), HOMES)
