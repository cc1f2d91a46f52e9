import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsServer;
import java.io.BufferedReader;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.security.KeyStore;
import java.time.Duration;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/**
 * Java's HTTP and HTTPS servers, and its client. A line of standard input is a request:
 *
 * <pre>java Programs.java PORT TLS_PORT KEYS PASSWORD
 * METHOD URL BYTES_OF_BODY</pre>
 *
 * Its answer is a JSON line. /bytes/N gets N bytes, /status/N that status; anything else gets what was
 * sent. The line "served" is answered with the number of requests that both servers have answered.
 */
class Programs {
    private static final AtomicInteger SERVED = new AtomicInteger();

    private static void answer(HttpExchange exchange) throws IOException {
        byte[] body = exchange.getRequestBody().readAllBytes();
        String[] path = exchange.getRequestURI().getPath().split("/");
        int status = 200;
        if (path.length > 2 && path[1].equals("bytes")) {
            body = new byte[Integer.parseInt(path[2])];
        } else if (path.length > 2 && path[1].equals("status")) {
            status = Integer.parseInt(path[2]);
        }
        SERVED.incrementAndGet();
        exchange.sendResponseHeaders(status, body.length == 0 ? -1 : body.length);
        exchange.getResponseBody().write(body);
        exchange.close();
    }

    private static void serve(HttpServer server) {
        server.createContext("/", Programs::answer);
        server.setExecutor(Executors.newCachedThreadPool(task -> {
            Thread thread = new Thread(task);
            thread.setDaemon(true);
            return thread;
        }));
        server.start();
    }

    private static SSLContext tls(String keys, String password) throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        try (InputStream file = new FileInputStream(keys)) {
            store.load(file, password.toCharArray());
        }
        KeyManagerFactory own = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        own.init(store, password.toCharArray());
        TrustManagerFactory trusted = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trusted.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(own.getKeyManagers(), trusted.getTrustManagers(), null);
        return context;
    }

    private static void ask(HttpClient client, String method, URI uri, int bytes) throws Exception {
        BodyPublisher body = bytes == 0 ? BodyPublishers.noBody() : BodyPublishers.ofByteArray(new byte[bytes]);
        HttpRequest request = HttpRequest.newBuilder(uri).timeout(Duration.ofSeconds(30)).method(method, body).build();
        long start = System.nanoTime();
        HttpResponse<byte[]> response = client.send(request, BodyHandlers.ofByteArray());
        double seconds = (System.nanoTime() - start) / 1e9;
        String path = uri.getRawPath() + (uri.getRawQuery() == null ? "" : "?" + uri.getRawQuery());
        System.out.printf(java.util.Locale.ROOT,
            "{\"method\":\"%s\",\"path\":\"%s\",\"status\":%d,\"bytes\":%d,\"seconds\":%.9f}%n",
            method, path, response.statusCode(), response.body().length, seconds);
    }

    public static void main(String[] arguments) throws Exception {
        SSLContext context = tls(arguments[2], arguments[3]);
        InetAddress loopback = InetAddress.getByName("127.0.0.1");
        serve(HttpServer.create(new InetSocketAddress(loopback, Integer.parseInt(arguments[0])), 64));
        HttpsServer secured = HttpsServer.create(new InetSocketAddress(loopback, Integer.parseInt(arguments[1])), 64);
        secured.setHttpsConfigurator(new HttpsConfigurator(context));
        serve(secured);
        HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).sslContext(context).build();
        System.out.println("listening");
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            if (line.equals("served")) {
                System.out.println(SERVED.get());
                continue;
            }
            String[] words = line.split(" ");
            ask(client, words[0], new URI(words[1]), Integer.parseInt(words[2]));
        }
        System.exit(0);
    }
}
