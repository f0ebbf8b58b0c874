"""Engines that turn a task and data into posterior predictives, each with a certificate."""
