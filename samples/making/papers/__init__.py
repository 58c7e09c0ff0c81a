"""The sample papers: a manuscript (`<stem>.toml`) and the drawings of its figures (`<stem>.py`) each."""
