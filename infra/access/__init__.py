"""Who may come in: tokens, login codes, rate limits, mail, secrets. Not what they may do then."""
