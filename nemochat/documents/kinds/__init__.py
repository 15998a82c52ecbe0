"""How each kind of document becomes sections. One module for each; bytes or text in, sections out."""
