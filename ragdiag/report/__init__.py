"""One result, many faces: text, HTML, Markdown."""
