#!/bin/sh
# Has a hundred and fifty processes at a time that do nothing.
for number in $(seq 150); do
    sleep 1 &
done
wait
