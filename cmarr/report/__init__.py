"""Tables and figures: plain arguments in, Markdown, data frames and matplotlib figures out; no paths."""
