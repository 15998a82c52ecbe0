"""The screens, each with its TCSS beside it."""
