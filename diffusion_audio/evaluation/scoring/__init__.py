"""Folders of audio scored by a named protocol: no model of ours takes part."""
