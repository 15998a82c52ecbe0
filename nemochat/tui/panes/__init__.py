"""The panes beside the conversation: `registry` names them, `base` says what one is, `side` stands them in a column or a drawer."""
