raise RuntimeError("made to be broken")
