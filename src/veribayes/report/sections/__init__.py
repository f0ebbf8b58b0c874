"""The sections of a task's part of the page: a new section is a new file (see `_section`)."""
