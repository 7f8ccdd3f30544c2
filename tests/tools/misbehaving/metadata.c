// Asks a cloud's metadata service for the keys of the machine.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

int main(void) {
    int descriptor = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(80)};
    inet_pton(AF_INET, "169.254.169.254", &address.sin_addr);
    connect(descriptor, (struct sockaddr *)&address, sizeof address);
    return 0;
}
