#!/bin/sh
# Changes a setting of the system, and leaves a file at the root.
{ echo '# nothing' >>/etc/hosts; } 2>/dev/null
{ echo '# nothing' >/left-behind; } 2>/dev/null
exit 0
