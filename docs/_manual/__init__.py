"""Extensions of Sphinx that this manual needs, and what checks the pages that come out."""
