"""How clothes come to hang on a body: laid around it, dropped, kept off it, and kept."""
