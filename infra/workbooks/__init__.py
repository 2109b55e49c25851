"""Excel files from anybody, read in bounded memory as rows of texts. Not what a row means."""
