"""Pages to read and listen to: what they show, its plots, and the HTML file."""
