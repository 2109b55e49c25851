"""What is true: events, the states they fold into, and the values they carry."""
