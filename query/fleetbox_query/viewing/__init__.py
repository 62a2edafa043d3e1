"""Show streams, pictures, texts and events on one clock in Rerun, or as a recording for it."""
