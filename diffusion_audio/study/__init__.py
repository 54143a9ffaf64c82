"""Questions answered by runs: what is asked, what came of it, how sure that is."""
