// SPDX-License-Identifier: Apache-2.0
// HttpClient, which offers HTTP/2 to servers that speak plain text: URL
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.concurrent.CompletableFuture;

public class Client {
    public static void main(String[] args) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        for (String path : new String[] {"/text", "/big", "/nothing"}) {
            var answer = client.send(HttpRequest.newBuilder(URI.create(args[0] + path)).build(),
                                     BodyHandlers.ofByteArray());
            System.out.println(answer.statusCode() + " " + answer.version() + " "
                               + answer.body().length);
        }
        var post = HttpRequest.newBuilder(URI.create(args[0] + "/echo"))
            .POST(HttpRequest.BodyPublishers.ofString("some text")).build();
        CompletableFuture<String> body = client.sendAsync(post, BodyHandlers.ofString())
            .thenApply(answer -> answer.body());
        System.out.println(body.get());
    }
}
