// Waits for others on all addresses.
#include <netinet/in.h>
#include <sys/socket.h>

int main(void) {
    int descriptor = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(4444)};
    bind(descriptor, (struct sockaddr *)&address, sizeof address);
    return listen(descriptor, 1);
}
