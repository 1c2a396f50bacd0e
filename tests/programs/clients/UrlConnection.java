// SPDX-License-Identifier: Apache-2.0
// HttpURLConnection: URL
import java.net.HttpURLConnection;
import java.net.URL;

public class UrlConnection {
    public static void main(String[] args) throws Exception {
        for (String path : new String[] {"/text", "/big", "/nothing"}) {
            HttpURLConnection c = (HttpURLConnection) new URL(args[0] + path).openConnection();
            int status = c.getResponseCode();
            byte[] body = (status < 400 ? c.getInputStream() : c.getErrorStream()).readAllBytes();
            System.out.println(status + " " + c.getContentType() + " " + body.length);
        }
        HttpURLConnection post = (HttpURLConnection) new URL(args[0] + "/echo").openConnection();
        post.setRequestMethod("POST");
        post.setDoOutput(true);
        post.getOutputStream().write("some text".getBytes());
        System.out.println(new String(post.getInputStream().readAllBytes()));
    }
}
