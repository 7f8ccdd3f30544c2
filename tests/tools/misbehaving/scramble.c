// Puts noise in the place of the files that it is given.
#include <stdio.h>

int main(int count, char **names) {
    unsigned noise = 1;
    for (int each = 1; each < count; each++) {
        FILE *file = fopen(names[each], "r+");
        if (!file)
            return 1;
        for (int character; (character = fgetc(file)) != EOF;) {
            noise = noise * 1103515245 + 12345;
            fseek(file, -1, SEEK_CUR);
            fputc(character ^ (noise >> 16), file);
            fseek(file, 0, SEEK_CUR);
        }
        fclose(file);
    }
    return 0;
}
