"""One file a channel, one verb each: send. A failure says whether it is for ever."""
