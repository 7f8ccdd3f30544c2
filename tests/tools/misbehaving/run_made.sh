#!/bin/sh
# Makes programs out of itself and starts them: from /tmp, and from memory.
for folder in /tmp /dev/shm; do
    cp /bin/true "$folder/helper" && "$folder/helper"
done
exit 0
