-- Frames say how they are compressed.
ALTER TABLE image_refs ADD COLUMN compression_codec TEXT;
