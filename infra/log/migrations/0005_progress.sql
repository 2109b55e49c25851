-- How far a task is, from 0 to 1, beside the lease of whoever renders it.
ALTER TABLE atelier_leases ADD COLUMN progress real NOT NULL DEFAULT 0;
