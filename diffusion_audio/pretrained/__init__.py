"""Published weights: files of others read, and their names made ours."""
