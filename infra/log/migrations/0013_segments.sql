-- A generation that several processes fill, each the events of its segment of the accounts: how far
-- each has come. Until the last has come to the same position, that of the generation stands still.
CREATE TABLE atelier_projection_segments (
    projection text NOT NULL,
    generation integer NOT NULL,
    segment    integer NOT NULL,
    position   bigint NOT NULL,
    PRIMARY KEY (projection, generation, segment),
    FOREIGN KEY (projection, generation) REFERENCES atelier_projections ON DELETE CASCADE
);
