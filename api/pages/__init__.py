"""What a browser shows: the API's description and its page. Not the resources they describe."""
