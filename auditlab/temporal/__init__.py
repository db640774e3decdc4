"""What was true when: the verbs about states, each a function over a selection."""
