"""Messages between processes: envelopes, codec, routing and relay decisions. Pure: no Ray, no SQL, no sockets."""
