"""Which panes there are, in the order in which they stand."""

from __future__ import annotations

from nemochat.tui.panes import attachments, base, context, tools

PANES: tuple[type[base.Pane], ...] = (attachments.AttachmentsPane, tools.ToolsPane, context.ContextPane)
