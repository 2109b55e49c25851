-- What is being done for a task, beside how far it is.
ALTER TABLE atelier_leases ADD COLUMN stage text;
