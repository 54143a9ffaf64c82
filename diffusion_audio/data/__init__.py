"""Where clips come from (sources) and how they reach a step (the Grain pipeline)."""
