"""From a person's details to a picture: arrays in, arrays out, torch only."""
