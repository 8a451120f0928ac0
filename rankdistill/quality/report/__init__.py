"""The quality report: one page of HTML, Markdown and JSON, made of metrics.json alone."""

MARK = '<meta name="generator" content="rankdistill">'  # of every page
