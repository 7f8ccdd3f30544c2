// Counts the lines of the files that it is given.
#include <stdio.h>

int main(int count, char **names) {
    for (int each = 1; each < count; each++) {
        FILE *file = fopen(names[each], "r");
        if (!file) {
            perror(names[each]);
            return 1;
        }
        long lines = 0;
        for (int character; (character = fgetc(file)) != EOF;)
            lines += character == '\n';
        fclose(file);
        printf("%ld %s\n", lines, names[each]);
    }
    return 0;
}
