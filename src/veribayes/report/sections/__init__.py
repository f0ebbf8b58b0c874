"""The sections of a task's part of the page, a file each: a new section is a new file (`veribayes.report._section`)."""
