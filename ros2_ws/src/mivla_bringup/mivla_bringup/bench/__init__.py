"""What `mivla bench` measures: one module per section, and the rows that all of them give."""
